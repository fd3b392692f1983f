"""`yld estimate`: what a corpus will take, from what videos took here."""
