"""What data sets are kept in: checked files and folders, and how they are filled."""
