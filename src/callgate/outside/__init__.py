"""The way out, of calls to models and tools alike: HTTP that changes nothing and hides nothing."""
