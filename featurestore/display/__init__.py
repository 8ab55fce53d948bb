"""How results show themselves: described once, and shown by a terminal and by a notebook."""
