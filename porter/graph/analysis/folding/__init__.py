"""How ops fold into layers, a file for each step."""
