-- A row an airport and hour. `time_hour` names the hour's beginning; what was observed in it is known at its end.
-- A report has gusts only where they exceed the wind. Left missing, an older hour's gusts would be taken for them.
SELECT
    origin AS airport,
    time_hour + INTERVAL 1 HOUR AS event_timestamp,
    temp,
    dewp,
    humid,
    wind_dir,
    wind_speed,
    coalesce(wind_gust, wind_speed) AS wind_gust,
    precip,
    pressure,
    visib
FROM weather
WHERE time_hour + INTERVAL 1 HOUR >= :start_time
    AND time_hour + INTERVAL 1 HOUR < :end_time
