"""Class activation maps: where in a layer is what the score rests on?"""
