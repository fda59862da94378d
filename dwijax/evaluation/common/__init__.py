"""What all evaluations share: metrics, statistics, tables, figures."""
