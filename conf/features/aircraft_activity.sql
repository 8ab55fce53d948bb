-- One row per aircraft and landing.
WITH landings AS (
    -- Two flights of one aircraft at the gate in the same minute are one event; the data has one such case.
    SELECT
        tailnum,
        actual_arrival,
        count(*) AS legs,
        sum(air_time) AS air_minutes,
        max(struct(scheduled_departure, flight_id, dep_delay, arr_delay, distance)) AS flight
    FROM flights
    WHERE tailnum IS NOT NULL
        AND actual_arrival >= :start_time - INTERVAL 24 HOURS
        AND actual_arrival < :end_time
    GROUP BY tailnum, actual_arrival
),

activity AS (
    SELECT
        tailnum,
        actual_arrival,
        flight,
        sum(legs) OVER last_24_hours AS legs_24h,
        sum(air_minutes) OVER last_24_hours AS air_minutes_24h
    FROM landings
    WINDOW last_24_hours AS (
        PARTITION BY tailnum ORDER BY actual_arrival
        RANGE BETWEEN INTERVAL 24 HOURS PRECEDING AND CURRENT ROW
    )
)

SELECT
    tailnum,
    actual_arrival AS event_timestamp,
    actual_arrival AS created_timestamp,
    flight.dep_delay AS last_dep_delay,
    flight.arr_delay AS last_arr_delay,
    flight.distance AS last_distance,
    legs_24h,
    air_minutes_24h
FROM activity
WHERE actual_arrival >= :start_time
