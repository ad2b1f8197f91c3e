from .table import format_table as format_table
