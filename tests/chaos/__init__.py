"""Chaos: real Ray, a real DynamoDB engine, and everything that can go wrong, from a seed."""
