"""What this book alone needs: its text, toys and research, and the data and models it ships.

No other room imports it, but for the command line, which trains on the text by default.
"""
