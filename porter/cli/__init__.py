"""The command line: parse, call a verb, print, exit. Every verb returns its result and prints nothing."""
