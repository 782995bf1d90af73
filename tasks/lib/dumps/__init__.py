"""Review dumps: from packed bytes to rows, and to spans that are no rows."""
