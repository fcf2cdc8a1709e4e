"""AI and Efficiency, re-measured: train to AlexNet's accuracy, bill the arithmetic, fit the trend."""
