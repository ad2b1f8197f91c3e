"""Files that stay whole: paths, writing beside and swapping, seals, locks, the Hub's cache."""
