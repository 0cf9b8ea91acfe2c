"""What the panels show and decide, without Qt: a test can ask every question that a user can.

The widget copies these answers into its controls and decides nothing itself.
"""
