"""Local surrogates: a linear model of the score near one input."""
