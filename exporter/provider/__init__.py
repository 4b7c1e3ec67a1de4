"""The provider's API: requests, connections, and the parsing of answers and webhooks."""
