"""Speech2Vid's deblurring network (Chung et al. 2017, 3.3), trained on blurred faces."""
