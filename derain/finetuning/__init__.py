"""Finetuning to one camera: the material made ready, its judge with its guide, the best weights so far."""
