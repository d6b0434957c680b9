"""What operators do with projections: build them beside the live one, compare, switch, drop."""
