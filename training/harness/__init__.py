"""One loop for all models: recipes, chance, checkpoints, ranks. A model has its own `System`."""
