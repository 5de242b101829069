"""Simulated conversations: voices, speakers, listeners that follow known rules, and rule scores."""
