"""Models that SimVP is compared with, all with the same face."""
