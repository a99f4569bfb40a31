"""Learning from data sets: the only room that imports pytorch_lightning."""
