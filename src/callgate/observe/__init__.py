"""What people see of calls: receipts today. Reads the audit log; never decides."""
