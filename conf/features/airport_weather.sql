-- One row per airport and hour. `time_hour` is the start of the hour; its observations are known at its end: the moment
-- from which they are true, and the one at which a store that ran in 2013 would have learned them.
-- A report has gusts only if they exceed the wind. If they stayed null, a join would take an older hour's gusts.
SELECT
    origin AS airport,
    time_hour + INTERVAL 1 HOUR AS event_timestamp,
    time_hour + INTERVAL 1 HOUR AS created_timestamp,
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
