"""What has been spent: accounts, charges, the audit log, and the analysts who may log in."""
