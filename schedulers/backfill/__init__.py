"""Backfilling: EASY and conservative, by the lifetimes that pods declare."""

from schedulers.backfill.strategy import Backfill, conservative, easy

__all__ = ["Backfill", "conservative", "easy"]
