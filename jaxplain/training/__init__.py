"""Which training examples made the model so: influence functions, TracIn, representer points."""
