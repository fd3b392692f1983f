"""Who may be asked over the network, and how much may come back."""
