"""The application: a partner's data, model and premises, and the doors through which Flower enters."""
