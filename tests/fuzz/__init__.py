"""Whatever an item, a message or an object may be: read without traceback, in bounds."""
