"""A trained model in use: predictions for new compounds, and a folder to carry."""
