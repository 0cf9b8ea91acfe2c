"""The folders in which the field gives out its data sets, one file a layout."""
