"""Plan shows what apply would change; apply changes it."""
