"""Where message ids and webhooks come in: dropped files, the HTTP intake, the webhook listener."""
