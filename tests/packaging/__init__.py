"""What is checked of the installed distribution rather than of the checkout."""
