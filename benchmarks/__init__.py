"""Measures mlpfast against its peers and against the limits of the machine it runs on."""
