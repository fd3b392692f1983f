"""The two-tower model of Ephrat, Halperin and Peleg (2017): speech from faces and their motion."""
