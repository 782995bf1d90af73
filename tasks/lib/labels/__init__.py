"""Labels of one's own: which scored rows to ask for, and what people answered."""
