"""Who speaks, and how far picture and sound are apart; measured and taken out."""
