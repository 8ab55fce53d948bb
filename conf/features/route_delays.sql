-- One row per route and full hour, if a flight landed in the hour before it: the flights of the 7 days up to it.
-- (One row every hour, as for the 16 carriers, would be 2 million rows for 224 routes, most of them repetitions.)
WITH landings AS (
    -- By the first full hour at or after the arrival, the earliest row that may include it.
    SELECT
        origin,
        dest,
        date_trunc('HOUR', actual_arrival + INTERVAL 1 HOUR - INTERVAL 1 MICROSECOND) AS hour,
        count(*) AS flights,
        sum(dep_delay) AS dep_delay,
        sum(arr_delay) AS arr_delay,
        sum(air_time) AS air_time,
        count_if(arr_delay > 15) AS late
    FROM flights
    WHERE actual_arrival > :start_time - INTERVAL 169 HOURS
        AND actual_arrival < :end_time
    GROUP BY origin, dest, date_trunc('HOUR', actual_arrival + INTERVAL 1 HOUR - INTERVAL 1 MICROSECOND)
),

sums AS (
    SELECT
        origin,
        dest,
        hour,
        sum(flights) OVER last_7_days AS flights,
        sum(dep_delay) OVER last_7_days AS dep_delay,
        sum(arr_delay) OVER last_7_days AS arr_delay,
        sum(air_time) OVER last_7_days AS air_time,
        sum(late) OVER last_7_days AS late
    FROM landings
    WINDOW last_7_days AS (
        PARTITION BY origin, dest ORDER BY hour
        RANGE BETWEEN INTERVAL 167 HOURS PRECEDING AND CURRENT ROW
    )
)

SELECT
    origin,
    dest,
    hour AS event_timestamp,
    hour AS created_timestamp,
    flights AS flights_7d,
    dep_delay / flights AS mean_dep_delay_7d,
    arr_delay / flights AS mean_arr_delay_7d,
    late / flights AS late_share_7d,
    air_time / flights AS mean_air_time_7d
FROM sums
WHERE hour >= :start_time
    AND hour < :end_time
