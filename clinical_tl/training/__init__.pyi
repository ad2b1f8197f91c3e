from .dp import DP as DP
