"""What people see of calls: receipts, spending, forecasts, thresholds. Reads the store; never decides."""
