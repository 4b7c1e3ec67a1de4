"""Where message ids and webhooks come in: dropped files, the intake over HTTP, the webhook listener."""
