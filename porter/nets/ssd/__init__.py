"""SSD detectors: a backbone with extra feature layers, and convolutional box predictors."""
