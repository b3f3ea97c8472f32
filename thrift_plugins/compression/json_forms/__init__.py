"""JSON inside a text, in the form that takes fewest tokens, found by counting and proven by reading it back."""

from thrift_plugins.compression.json_forms.cheapest import Form, Written, cheapest, read_back

__all__ = ["Form", "Written", "cheapest", "read_back"]
