"""Zero-1-to-3: views from one photo and a relative pose, one by one."""
