"""Where ids and webhooks come in: dropped files, the intake, the webhook listener."""
