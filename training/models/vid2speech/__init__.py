"""Vid2Speech (Ephrat and Peleg 2017): line spectrum pairs from nine frames; a baseline."""
